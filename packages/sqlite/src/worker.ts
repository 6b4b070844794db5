/** The entry of the worker thread: serves one connection, described by `workerData`. */
import { workerData } from "node:worker_threads"
import type { Start } from "./internal/boundary.js"
import { serve } from "./internal/worker/serve.js"

serve(workerData as Start)
