/**
 * Where this package lies: the worker, the pump and the carrier are no imports. This file is two folders below it, in the
 * sources as well as in the package; but a bundler may have put it anywhere.
 */
import { existsSync } from "node:fs"
import Module from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const file: string | undefined =
  typeof import.meta.filename === "string"
    ? import.meta.filename
    : typeof __filename === "string"
      ? __filename
      : undefined

/**
 * This module, or the bundle that it is in. Where that is CommonJS there is no `import.meta`; webpack puts there where the
 * module lay when it was bundled as the `url`, and has the bundle's own place in `filename` only.
 */
export const here: string = file === undefined ? import.meta.url : pathToFileURL(file).href

/**
 * `require` as a module at that place has it. Called as a member: where webpack sees `createRequire` itself
 * imported, it takes the answer for one that it knows at build time, and puts `undefined` there when it does not.
 */
export const requireFrom = (place: URL | string): NodeJS.Require => Module.createRequire(place)

const workerFile = "dist/internal/worker/bundle.js"

/** The package as a module at that place would import it; undefined: it could not. */
const installedFor = (place: URL | string): string | undefined => {
  try {
    return dirname(requireFrom(place).resolve("@sluice/sqlite/package.json"))
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
