/**
 * Messages of a daemon. The rows, which are nearly all of a large message, are found without being read: what is read of
 * them, and how, is for the one who knows the columns (rows.ts).
 */
import { parseLossless, stringEnd, valueEnd } from "./lossless.js"

/** A JSON array of rows, not read yet: a piece of the message, in place (a cut would be slower to read). */
export interface RawRows {
  readonly text: string
  readonly start: number
  readonly end: number
}

export interface Frame {
  readonly _tag: "Frame"
  /** Undefined if the response has none, which no well-behaved daemon does. */
  readonly id: string | undefined
  /** Only if the response says so. */
  readonly success: boolean
  /** Only if the response says that. One that says neither is of a daemon in trouble, which may have done anything. */
  readonly refused: boolean
  readonly error: string | undefined
  readonly sqlState: string | null | undefined
  readonly sqlRc: number | undefined
  /** Milliseconds. */
  readonly executionTime: number | undefined
  /** Every other field; `data` is undefined in it. Numbers in it are doubles: for `output_parms` see `outputParameters`. */
  readonly body: Readonly<Record<string, unknown>>
  readonly data: RawRows | undefined
  /** The text of `output_parms`, if it is there. */
  readonly outputs: string | undefined
  /** The text of `vedata`, the rows of a plan, if it is there. */
  readonly plan: string | undefined
}

export interface MalformedFrame {
  readonly _tag: "MalformedFrame"
  /** What is wrong; nothing of the content. */
  readonly why: string
}

const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true })

/** One message, text or binary, with any white space around it. Never throws. */
export const parse = (message: string | Uint8Array): Frame | MalformedFrame => {
  const text = typeof message === "string" ? message : decoder.decode(message)
  return quick(text) ?? careful(text)
}

/** What a number of no meaning stands in for while the rest is read. */
const stand = 0
const opening = '"data":['

/**
 * The way for messages as daemons write them: no white space, `data` one of the last fields. In JSON the quotes within a
 * text are escaped, so `"data":[` and `],"is_done":` can only be what they look like; whether they belong to the message
 * itself and not to something in it shows when the rest is read.
 */
const quick = (text: string): Frame | undefined => {
  const found = text.indexOf(opening)
  if (found < 0) {
    const body = object(text)
    return body === undefined || "data" in body
      ? undefined
      : frame(body, undefined, outputsOf(text, body), planOf(text, body))
  }
  const start = found + opening.length - 1
  const end = dataEnd(text, start)
  if (end < 0) {
    return undefined
  }
  const metadata = knownMetadata(text, found)
  const before =
    metadata === undefined
      ? text.slice(0, start)
      : text.slice(0, metadata.start) + stand + text.slice(metadata.end, start)
  const rest = before + stand + text.slice(end)
  const body = object(rest)
  if (body === undefined || body.data !== stand) {
    return undefined
  }
  if (metadata !== undefined) {
    if (body.metadata !== stand) {
      return undefined
    }
    body.metadata = metadata.value
  }
  return frame(body, { text, start, end }, outputsOf(rest, body), planOf(rest, body))
}

const metadataMarker = '"metadata":{'
/** How many are kept, and how long their texts may be. */
const [maxMetadata, maxMetadataLength] = [512, 8192]
const metadata = new Map<string, object>()

/**
 * The metadata, where it stands before the rows, read once for all results that have the same: for a small result
 * it would be most of what there is to read. Nobody may change it.
 */
const knownMetadata = (
  text: string,
  data: number
): { readonly start: number; readonly end: number; readonly value: object } | undefined => {
  const marker = text.indexOf(metadataMarker)
  if (marker < 0 || marker > data) {
    return undefined
  }
  const start = marker + metadataMarker.length - 1
  const end = data - start > maxMetadataLength ? Infinity : valueEnd(text, start)
  if (end > data) {
    return undefined
  }
  const own = text.slice(start, end)
  const known = metadata.get(own)
  if (known !== undefined) {
    return { start, end, value: known }
  }
  const value = object(own)
  if (value === undefined) {
    return undefined
  }
  if (metadata.size >= maxMetadata) {
    metadata.delete(metadata.keys().next().value!)
  }
  // A copy: a piece of the message would keep all of it.
  metadata.set(Buffer.from(own).toString(), value)
  return { start, end, value }
}

/** What follows the rows in one kind of message or another. */
const following = [']],"has_results":', ']],"output_parms":', ']],"is_done":', ']],"success":', ']],"error":']
/** They follow soon: so many characters from the end are looked at first. */
const tailLength = 4096

/**
 * The place after the array of terse rows that begins at `start`; -1 if only a careful look can tell. Rows hold no
 * arrays and no other field holds arrays in an array, so the first such end is that of the rows.
 */
const dataEnd = (text: string, start: number): number => {
  const next = text.charCodeAt(start + 1)
  if (next === 93) {
    return start + 2
  }
  if (next !== 91) {
    return -1
  }
  const tail = firstOf(text, Math.max(start, text.length - tailLength))
  return tail >= 0 ? tail : firstOf(text, start)
}

const firstOf = (text: string, from: number): number => {
  let first = -1
  for (const marker of following) {
    const at = text.indexOf(marker, from)
    if (at >= 0 && (first < 0 || at < first)) {
      first = at
    }
  }
  return first < 0 ? -1 : first + 2
}

const outputsMarker = '"output_parms":['

/** `rest`: the text without the rows. */
const outputsOf = (rest: string, body: Record<string, unknown>): string | undefined => {
  const values = body.output_parms
  if (!Array.isArray(values)) {
    return undefined
  }
  if (values.length === 0) {
    return "[]"
  }
  const at = rest.indexOf(outputsMarker)
  const start = at + outputsMarker.length - 1
  return at < 0 ? spans(rest).get("output_parms") : rest.slice(start, valueEnd(rest, start))
}

const planOf = (rest: string, body: Record<string, unknown>): string | undefined =>
  Array.isArray(body.vedata) ? spans(rest).get("vedata") : undefined

/** The way for everything else: white space, other orders, fields of unknown kinds. */
const careful = (text: string): Frame | MalformedFrame => {
  const body = object(text)
  if (body === undefined) {
    return { _tag: "MalformedFrame", why: parseLossless(text) === undefined ? "not JSON" : "not a JSON object" }
  }
  const found = spans(text)
  const data = Array.isArray(body.data) ? found.get("data") : undefined
  return frame(
    body,
    data === undefined ? undefined : { text: data, start: 0, end: data.length },
    found.get("output_parms"),
    found.get("vedata")
  )
}

const object = (text: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** The texts of the fields of an object that is known to be JSON. */
const spans = (text: string): Map<string, string> => {
  const found = new Map<string, string>()
  let at = text.indexOf("{") + 1
  for (;;) {
    const key = text.indexOf('"', at)
    if (key < 0) {
      return found
    }
    const afterKey = stringEnd(text, key)
    const start = text.indexOf(":", afterKey) + 1
    const end = valueEnd(text, start)
    found.set(JSON.parse(text.slice(key, afterKey)) as string, text.slice(start, end))
    at = end
  }
}

const frame = (
  body: Record<string, unknown>,
  data: RawRows | undefined,
  outputs: string | undefined,
  plan: string | undefined
): Frame => {
  if (body.data !== undefined) {
    // Not deleted: V8 would make a slow object of it, for each message.
    body.data = undefined
  }
  const { id, error, execution_time: time, sql_rc: rc, sql_state: state } = body
  return {
    _tag: "Frame",
    id: typeof id === "string" ? id : typeof id === "number" ? String(id) : undefined,
    success: body.success === true,
    refused: body.success === false,
    error: typeof error === "string" ? error : undefined,
    sqlState: typeof state === "string" || state === null ? state : undefined,
    sqlRc: typeof rc === "number" ? rc : undefined,
    executionTime: typeof time === "number" ? time : undefined,
    body,
    data,
    outputs,
    plan
  }
}
