/**
 * Downloads. Without a token the browser fetches the file itself, of any size; with one, the page has to, since a
 * link cannot carry it, and hands it on piece by piece where the browser lets it write a file.
 */

import { hasToken, request, runPath, url } from "./api.js";

/** @typedef {"raw" | "text" | "json"} Form */

/** @type {Record<Form, string>} */
const ENDINGS = { raw: "log", text: "txt", json: "ndjson" };

/**
 * @param {string} run
 * @param {import("./api.js").Parameters} query
 * @param {Form} form
 */
export async function download(run, query, form) {
  const address = url(`${runPath(run)}/raw`, { ...query, form, timestamps: form === "text" });
  const steps = Array.isArray(query["step"]) ? query["step"] : [];
  const name = [run, ...steps].join("-").replace(/[^\w.@-]+/g, "_").slice(0, 100);
  const file = `${name}.${ENDINGS[form]}`;
  if (!hasToken()) {
    save(address, file);
    return;
  }
  const response = await request(address, { accept: "*/*" });
  const picker = /** @type {{ showSaveFilePicker?: (options: object) => Promise<FileSystemFileHandle> }} */ (/** @type {unknown} */ (globalThis)).showSaveFilePicker;
  if (picker && response.body) {
    const handle = await picker({ suggestedName: file });
    await response.body.pipeTo(await handle.createWritable());
    return;
  }
  const blob = URL.createObjectURL(await response.blob());
  save(blob, file);
  setTimeout(() => URL.revokeObjectURL(blob), 60_000);
}

/** @param {string} address @param {string} name */
function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
