/** Putting the image of a database in the place of one in memory. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { isMemory } from "./isMemory.js"

/** Of https://www.sqlite.org/fileformat.html: what a file begins with, and the two versions that say 2 in WAL mode. */
const magic = "SQLite format 3\0"
const headerBytes = 100
const versions = [18, 19]

/** A copy that memory can hold: it has no WAL. The caller's bytes stay as they are. */
const imageOf = (bytes: Uint8Array): ArrayBuffer | undefined => {
  const image = new Uint8Array(bytes)
  if (image.length < headerBytes || Buffer.from(image.buffer, 0, magic.length).toString("latin1") !== magic) {
    return undefined
  }
  for (const at of versions) {
    image[at] = 1
  }
  return image.buffer
}

export const deserialize = (
  filename: string,
  bytes: Uint8Array,
  put: (image: ArrayBuffer) => Effect.Effect<unknown, SqlError>
): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    if (!isMemory(filename)) {
      return Effect.fail(
        SqlFailure.make({
          reason: "Unsupported",
          message:
            "Only a database in memory can be replaced by bytes: write them to a file and open that, or use :memory:"
        })
      )
    }
    const image = imageOf(bytes)
    return image === undefined
      ? Effect.fail(
          SqlFailure.make({
            reason: "InvalidParameter",
            message: "These bytes are no SQLite database: take those of sql.serialize, or of a database file"
          })
        )
      : Effect.asVoid(put(image))
  })
