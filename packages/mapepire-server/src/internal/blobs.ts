/**
 * Binary values that newer daemons hand out over HTTP: once, to the same login, for a minute. Until then they lie in our
 * memory, so there is a bound for what nobody fetches, and nothing of a socket is left when it has gone.
 */
import { randomUUID } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Bytes } from "./values.js"

const lifetime = 60_000
/** What a value takes besides its bytes, about. */
const overhead = 512

export interface BlobLimits {
  /** Of a socket, and of all of them. */
  readonly blobBytes: number
  readonly allBlobBytes: number
}

interface Blob {
  readonly bytes: Uint8Array
  readonly until: number
}

/** What one socket has been told of and has not fetched, oldest first. */
export class Shelf implements Bytes {
  private readonly kept = new Map<string, Blob>()
  private ended = false
  size = 0

  constructor(
    private readonly blobs: Blobs,
    readonly header: string
  ) {}

  readonly page = (): void => this.blobs.makeRoom(this)

  readonly encode = (bytes: Uint8Array): string => {
    const token = randomUUID().replaceAll("-", "")
    // A request may end after its socket, and nobody will ask for its values.
    if (!this.ended) {
      this.kept.set(token, { bytes, until: Date.now() + lifetime })
      this.size += bytes.byteLength + overhead
    }
    return `{"blob_url":"/blob/${token}","size":${bytes.byteLength}}`
  }

  take(token: string): Blob | undefined {
    const blob = this.kept.get(token)
    if (blob !== undefined) {
      this.kept.delete(token)
      this.size -= blob.bytes.byteLength + overhead
    }
    return blob
  }

  /** Takes out what is too old, and the oldest of what is too much. */
  trim(most: number, now: number): void {
    for (const [token, { until }] of this.kept) {
      if (until > now && this.size <= most) {
        return
      }
      this.take(token)
    }
  }

  end(): void {
    this.ended = true
    this.kept.clear()
    this.size = 0
    this.blobs.forget(this)
  }
}

export class Blobs {
  private readonly shelves = new Set<Shelf>()

  constructor(private readonly limits: BlobLimits) {}

  /** For a socket, with the header that it has signed on with. */
  shelf(header: string): Shelf {
    const shelf = new Shelf(this, header)
    this.shelves.add(shelf)
    return shelf
  }

  forget(shelf: Shelf): void {
    this.shelves.delete(shelf)
  }

  /** Before a page and not within one: its own values are there when it arrives, however many they are. */
  makeRoom(shelf: Shelf): void {
    const now = Date.now()
    shelf.trim(this.limits.blobBytes, now)
    for (let over = this.over; over > 0; over = this.over) {
      // Whoever has left most of it there loses first.
      const most = [...this.shelves].reduce((a, b) => (b.size > a.size ? b : a))
      most.trim(most.size - over, now)
    }
  }

  /** How much all of them together have too much. */
  private get over(): number {
    let size = 0
    for (const shelf of this.shelves) {
      size += shelf.size
    }
    return size - this.limits.allBlobBytes
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    const token = /^\/blob\/?([^/?]*)/.exec(request.url ?? "")?.[1] ?? ""
    const { blob, header } = this.take(token)
    if (token === "") {
      response.writeHead(400).end()
    } else if (blob === undefined || blob.until < Date.now()) {
      response.writeHead(404).end()
    } else if (request.headers.authorization !== header) {
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

  private take(token: string): { readonly blob?: Blob; readonly header?: string } {
    for (const shelf of this.shelves) {
      const blob = shelf.take(token)
      if (blob !== undefined) {
        return { blob, header: shelf.header }
      }
    }
    return {}
  }
}
