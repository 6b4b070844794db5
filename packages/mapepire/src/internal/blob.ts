/**
 * Binary values of newer daemons: a cell has an address, to be fetched once, within a minute, with the login of the socket
 * that got it.
 */
import * as http from "node:http"
import * as https from "node:https"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as failure from "./failure.js"
import type { RawRows } from "./frame.js"
import * as tls from "./tls.js"

interface BlobSource {
  readonly host: string
  readonly port: number
  readonly secure: boolean
  readonly authorization: Redacted.Redacted
  readonly tls: tls.TlsConfig
  /** Milliseconds without a byte. */
  readonly timeout: number
}

/** Values that are fetched at the same time. */
const concurrency = 8

/** How many bytes there are behind an address; undefined if the rows do not say. */
export type Sizes = ReadonlyMap<string, number | undefined>

const reference =
  /(?:"size"\s*:\s*(\d+)\s*,\s*)?"blob_url"\s*:\s*("(?:[^"\\]|\\.)*")(?:\s*,\s*"size"\s*:\s*(\d+)(?=\s*[,}]))?/g

/** The addresses in some rows. */
export const addressesIn = (rows: RawRows): Sizes => {
  const text = rows.text.slice(rows.start, rows.end)
  const found = new Map<string, number | undefined>()
  for (const [, before, address, size = before] of text.matchAll(reference)) {
    found.set(JSON.parse(address!) as string, size === undefined ? undefined : Number(size))
  }
  return found
}

/** What has come, if it is all of the value. */
const whole = (bytes: Uint8Array, size: number | undefined): Effect.Effect<Uint8Array, SqlError> =>
  size === undefined || bytes.length === size
    ? Effect.succeed(bytes)
    : Effect.fail(notFetched(`${bytes.length} bytes came instead of ${size}`))

const notFetched = (why: string): SqlError =>
  failure.protocol(`A binary value could not be fetched: ${why}`, { job: undefined })

export const fetchAll = (
  addresses: Sizes,
  fetch: (address: string) => Effect.Effect<Uint8Array, SqlError>
): Effect.Effect<ReadonlyMap<string, Uint8Array>, SqlError> =>
  Effect.map(
    Effect.forEach(
      addresses,
      ([address, size]) =>
        Effect.map(
          Effect.flatMap(fetch(address), (bytes) => whole(bytes, size)),
          (bytes) => [address, bytes] as const
        ),
      { concurrency }
    ),
    (entries) => new Map(entries)
  )

export const fetcher =
  (source: BlobSource) =>
  (address: string): Effect.Effect<Uint8Array, SqlError> =>
    Effect.async<Uint8Array, SqlError>((resume) => {
      const fail = (why: string) => resume(Effect.fail(notFetched(why)))
      // An address elsewhere would get the password; and with a blank in it there is no request.
      if (!/^\/(?!\/)[!-~]*$/.test(address)) {
        return fail("its address is not one of the daemon's")
      }
      const options: http.RequestOptions = {
        host: source.host,
        port: source.port,
        path: address,
        timeout: source.timeout,
        headers: { Authorization: Redacted.value(source.authorization) }
      }
      // With a way to connect of its own there is no agent, which would have kept the connection.
      const request = source.secure
        ? https.request({ ...options, createConnection: tls.connector(source.tls) as never })
        : http.request({ ...options, agent: false })
      request.on("timeout", () => request.destroy(new Error(`nothing came for ${source.timeout} ms`)))
      request.on("error", (error) => fail(failure.textOf(error)))
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error) => fail(failure.textOf(error)))
        response.on("end", () =>
          response.statusCode === 200
            ? resume(Effect.succeed(new Uint8Array(Buffer.concat(chunks))))
            : fail(`HTTP status ${response.statusCode}`)
        )
      })
      request.end()
      return Effect.sync(() => request.destroy())
    })
