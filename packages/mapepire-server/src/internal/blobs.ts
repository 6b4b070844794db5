/** Binary values that newer daemons hand out over HTTP: once, to the same login, for a minute. */
import { randomUUID } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { EncodeBytes } from "./values.js"

const lifetime = 60_000
/** Oldest out first: nobody fetches so many in a minute. */
const maxKept = 10_000

interface Blob {
  readonly bytes: Uint8Array
  readonly header: string
  readonly until: number
}

export class Blobs {
  private readonly kept = new Map<string, Blob>()

  encoder(header: string): EncodeBytes {
    return (bytes) => {
      const now = Date.now()
      for (const [token, blob] of this.kept) {
        if (blob.until > now && this.kept.size < maxKept) {
          break
        }
        this.kept.delete(token)
      }
      const token = randomUUID().replaceAll("-", "")
      this.kept.set(token, { bytes, header, until: now + lifetime })
      return `{"blob_url":"/blob/${token}","size":${bytes.byteLength}}`
    }
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const token = /^\/blob\/?([^/?]*)/.exec(request.url ?? "")?.[1] ?? ""
    const blob = this.kept.get(token)
    this.kept.delete(token)
    if (token === "") {
      response.writeHead(400).end()
    } else if (blob === undefined || blob.until < Date.now()) {
      response.writeHead(404).end()
    } else if (request.headers.authorization !== blob.header) {
      response.writeHead(401).end()
    } else {
      response
        .writeHead(200, {
          "content-type": "application/octet-stream",
          "content-length": blob.bytes.byteLength,
          "cache-control": "no-store"
        })
        .end(blob.bytes)
    }
  }
}
