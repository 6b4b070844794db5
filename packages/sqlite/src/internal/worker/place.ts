/** Where a page is written. */
import { Flag, Header, headerBytes } from "../page.js"

/** Memory, and how what is in it is announced. */
export interface Place {
  readonly bytes: Uint8Array
  readonly offset: number
  readonly capacity: number
  readonly reply: number
}

/** The header of the page there. */
export const wordsOf = (place: Place) =>
  new Int32Array(place.bytes.buffer, place.bytes.byteOffset + place.offset, headerBytes / 4)

export const lengthOf = (place: Place): number => wordsOf(place)[Header.bytes]!

/** A page that tells nothing: the end of a statement without rows in the middle of a script. */
export const isEmpty = (place: Place): boolean => {
  const words = wordsOf(place)
  return words[Header.rows] === 0 && (words[Header.flags]! & Flag.columns) === 0
}
