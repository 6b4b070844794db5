/** Pages that the worker writes by itself: answers without rows. */
import { Flag, Header, Header8, headerBytes } from "../page.js"

const utf8 = new TextEncoder()

/** Longer messages are cut: the page must fit into a reply slot. */
const messageBytes = 3_000

/** A page without columns or rows: facts, and an error if there is a message. */
export const emptyPage = (options: {
  readonly flags: number
  readonly why?: number
  readonly code?: number
  readonly detail?: number
  readonly message?: string
}): ArrayBuffer => {
  const message = options.message === undefined ? undefined : utf8.encode(options.message).subarray(0, messageBytes)
  const bytes = headerBytes + (message === undefined ? 0 : 4 + message.length)
  const page = new ArrayBuffer((bytes + 7) & ~7)
  const words = new Int32Array(page)
  words[Header.flags] = options.flags | Flag.done
  words[Header.code] = options.code ?? 0
  words[Header.why] = options.why ?? 0
  words[Header.bytes] = page.byteLength
  words[Header.detail] = options.detail ?? -1
  new Float64Array(page)[Header8.changes] = -1
  if (message !== undefined) {
    words[Header.errorOffset] = headerBytes
    words[headerBytes / 4] = message.length
    new Uint8Array(page).set(message, headerBytes + 4)
  }
  return page
}
