/** The two clocks of a thread: deadlines and waits are in `performance.now()`, what crosses to the other side in `process.hrtime`. */

/** `performance.now()` 0 in ns of `process.hrtime`. */
export const origin = Number(process.hrtime.bigint()) - performance.now() * 1e6
