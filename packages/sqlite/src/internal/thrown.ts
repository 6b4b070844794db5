/** What code of the program threw in the worker, carried through SQLite as the message of an error. */

export interface Thrown {
  readonly className: string
  readonly message: string
  readonly code: string | number | undefined
}

/** No message of SQLite begins so. */
const mark = "\u0001sluice:"

const builtIn: ReadonlySet<unknown> = new Set(["Error", "DOMException", "Object", "", undefined])

/** Everything is asked for carefully: it can be any value. */
const describe = (error: unknown): Thrown => {
  if (typeof error !== "object" || error === null) {
    return { className: typeof error, message: String(error), code: undefined }
  }
  const { code, constructor, message, name } = error as Readonly<Record<string, unknown>>
  const own = typeof constructor === "function" ? constructor.name : undefined
  return {
    className: builtIn.has(own) ? (typeof name === "string" ? name : "Error") : own!,
    message: typeof message === "string" ? message : "",
    code: typeof code === "string" || typeof code === "number" ? code : undefined
  }
}

export const pack = (error: unknown): string => {
  try {
    return mark + JSON.stringify(describe(error))
  } catch {
    return `${mark}{"className":"Error","message":"an error that cannot be described"}`
  }
}

/** Undefined: the message is nobody's but SQLite's. It may have put words of its own before ours. */
export const unpack = (message: string): Thrown | undefined => {
  const at = message.indexOf(mark)
  if (at < 0) {
    return undefined
  }
  try {
    return JSON.parse(message.slice(at + mark.length)) as Thrown
  } catch {
    return { className: "Error", message: message.slice(at + mark.length), code: undefined }
  }
}
