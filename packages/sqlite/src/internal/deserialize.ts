/** Putting the image of a database in the place of one in memory. */
import type { SqlError } from "@effect/sql/SqlError"
import { SqlFailure } from "@sluice/sql"
import * as Effect from "effect/Effect"
import { isDatabase, versionsAt } from "./fileHeader.js"
import { isMemory } from "./isMemory.js"

/** A copy that memory can hold: it has no WAL. The caller's bytes stay as they are. */
const imageOf = (bytes: Uint8Array): ArrayBuffer | undefined => {
  if (!isDatabase(bytes)) {
    return undefined
  }
  const image = new Uint8Array(bytes)
  for (const at of versionsAt) {
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
