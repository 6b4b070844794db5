/** The entry of the worker thread: serves one connection, described by `workerData`. */
import { isMainThread, workerData } from "node:worker_threads"
import type { Start } from "./internal/opening.js"
import { serve } from "./internal/worker/serve.js"

if (isMainThread) {
  throw new Error(
    "@sluice/sqlite/worker is the entry of worker threads: give its URL as workerUrl, import nothing from it"
  )
}
serve(workerData as Start)
