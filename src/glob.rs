//! Names that a pattern with stars means. Pure; apart because redaction and the server ask.

/// Whether `name` is one of those that `glob` means: a `*` stands for any run of characters, anything else for what is
/// the same to `same`.
pub(crate) fn matches(glob: &str, name: &str, same: fn(&u8, &u8) -> bool) -> bool {
    let (mut at, mut rest) = (glob.as_bytes(), name.as_bytes());
    // Behind the last star: the glob that follows it, and the name not yet given to it.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (at.split_first(), rest.split_first()) {
            (Some((b'*', glob)), _) => {
                retry = Some((glob, rest));
                at = glob;
            }
            (Some((want, glob)), Some((have, name))) if same(want, have) => {
                (at, rest) = (glob, name);
            }
            (None, None) => return true,
            _ => {
                // The last star takes one more character.
                let Some((glob, [_, name @ ..])) = retry else { return false };
                retry = Some((glob, name));
                (at, rest) = (glob, name);
            }
        }
    }
}
