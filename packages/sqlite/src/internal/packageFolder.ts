/**
 * Where this package lies: the worker, the pump and the carrier are no imports. This file is two folders below it, in the
 * sources as well as in the package; but a bundler may have put it anywhere.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

/** This module, or the bundle that it is in. Where that is CommonJS there is no `import.meta`. */
export const here: string = typeof __filename === "string" ? pathToFileURL(__filename).href : import.meta.url

const workerFile = "dist/internal/worker/bundle.js"

/** The package as a module at that place would import it; undefined: it could not. */
const installedFor = (place: URL | string): string | undefined => {
  try {
    return dirname(createRequire(place).resolve("@sluice/sqlite/package.json"))
  } catch {
    return undefined
  }
}

let found: string | undefined
let entry: URL | string | undefined

/** The worker's entry that the program named: a bundle that does not see the package may know one that does. */
export const lookFrom = (worker: URL | string | undefined): void => {
  entry ??= worker
}

const beside = fileURLToPath(new URL("../../", here))

const find = (): string | undefined =>
  existsSync(join(beside, workerFile))
    ? beside
    : (installedFor(here) ?? (entry === undefined ? undefined : installedFor(entry)))

export const packageFolder = (): string => (found ??= find()) ?? beside

/** `worker.ts` as one file. */
export const defaultWorker = (): URL => pathToFileURL(join(packageFolder(), workerFile))

/** What to do where something of the package is missing. */
export const bundleAdvice =
  'Is the program a bundle? Then leave @sluice/sqlite out of it ("external") and install it where the program runs, ' +
  'or set workerUrl to where import.meta.resolve("@sluice/sqlite/worker") is then'
