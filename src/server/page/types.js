/**
 * The shapes of the API's answers, as JSDoc types. Holds no code: it exists so that every other module
 * can name them and `tsc` can check their use.
 */

/**
 * One record of a log.
 * @typedef {object} Line
 * @property {number} [number] Its place in the selection, from 0.
 * @property {string} writer
 * @property {number} seq Its place in its stream, from 0.
 * @property {string} time RFC 3339, UTC, nanoseconds.
 * @property {Level} [level]
 * @property {"stdout" | "stderr"} iostream
 * @property {string} source
 * @property {string} step_id
 * @property {number} attempt
 * @property {string} message Plain text without escape sequences.
 * @property {Span[]} [spans]
 * @property {boolean} [progress]
 * @property {number} [states] How often a progress bar was drawn.
 * @property {number} [part]
 * @property {number} [parts]
 * @property {number} [line] `seq` of the first part of the same line.
 * @property {number} [group] `seq` of the first line of its traceback.
 * @property {{ reason: string, bytes: number, lines: number }} [gap]
 * @property {string} [eol]
 * @property {boolean} [matched] False for a line that is only context.
 * @property {number} [cut] The full length in characters, where `message` is only its beginning.
 * @property {{ kind: "start" | "end", name?: string }} [section]
 */

/** @typedef {"TRACE" | "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL"} Level */

/**
 * A piece of a message that looks different; `at` and `len` count UTF-16 units.
 * @typedef {object} Span
 * @property {number} at
 * @property {number} len
 * @property {string} [fg] `0` … `255`, or `#rrggbb`.
 * @property {string} [bg]
 * @property {boolean} [bold]
 * @property {boolean} [dim]
 * @property {boolean} [italic]
 * @property {boolean} [underline]
 * @property {boolean} [strike]
 * @property {boolean} [inverse]
 * @property {string} [link]
 */

/** @typedef {"running" | "unfinished" | "succeeded" | "failed" | "interrupted" | "continued"} Status */

/** @typedef {Record<string, number> | number[]} Levels */

/**
 * @typedef {object} Exit
 * @property {number} [code]
 * @property {string} [signal]
 * @property {boolean} [core]
 * @property {string} [reason]
 */

/**
 * @typedef {object} Stream
 * @property {string} pipeline_run_id
 * @property {string} step_id
 * @property {number} attempt
 * @property {string} source
 * @property {string} writer
 * @property {Status} status
 * @property {string} started
 * @property {string} [ended]
 * @property {string} [last_seen]
 * @property {number} [lines]
 * @property {number} [bytes]
 * @property {Levels} [levels]
 * @property {number} gaps
 * @property {Exit} [exit]
 * @property {string} [first_error]
 */

/**
 * @typedef {object} Attempt
 * @property {number} attempt
 * @property {Status} status
 * @property {string} started
 * @property {string} [ended]
 * @property {Exit} [exit]
 * @property {number} [exit_status]
 * @property {string} [reason]
 * @property {string} [first_error]
 * @property {Stream[]} streams
 */

/**
 * @typedef {object} Step
 * @property {string} step_id
 * @property {Status} status
 * @property {string} started
 * @property {string} [ended]
 * @property {number} [lines]
 * @property {Levels} [levels]
 * @property {Attempt[]} attempts
 */

/**
 * @typedef {object} Run
 * @property {string} pipeline_run_id
 * @property {Status} status
 * @property {string} started
 * @property {string} [ended]
 * @property {number} [lines]
 * @property {number} [bytes]
 * @property {Levels} [levels]
 * @property {number} [gaps]
 * @property {boolean} complete
 * @property {Step[]} steps
 */

/** @typedef {{ pipeline_run_id: string, started: string }} RunSummary */

/** @typedef {{ writer: string, what: string }} Trouble */

/**
 * Lines by number.
 * @typedef {object} Window
 * @property {number} start
 * @property {number} total
 * @property {boolean} complete
 * @property {Line[]} items
 * @property {string | null} [before]
 * @property {string | null} [after]
 * @property {Trouble[]} [troubles]
 */

/**
 * Lines by cursor.
 * @typedef {object} Page
 * @property {Line[]} items
 * @property {string | null} [before]
 * @property {string | null} [after]
 * @property {Stream[]} [streams]
 * @property {Trouble[]} [troubles]
 */

/** @typedef {{ number: number, writer: string, seq: number, time: string }} Position */

/**
 * @typedef {object} Found
 * @property {number} matches
 * @property {boolean} complete
 * @property {Position[]} positions
 * @property {string | null} [after]
 */

/** @typedef {{ number: number, time: string, lines: number, errors: number, warnings: number }} Bucket */

/** @typedef {{ from: string | null, to: string | null, lines: number, buckets: Bucket[] }} Density */

export {};
