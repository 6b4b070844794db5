/** Where migrations come from, and what their checksums are made of. */
import { FileSystem } from "@effect/platform/FileSystem"
import * as EffectSql from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type { Loader, Migration, ResolvedMigration, Step } from "../../Migrator.js"
import { MigrationError } from "./error.js"

const recordKey = /^(\d+)_(.+)$/
const babelKey = /^_(\d+)_([^.]+?)(Js|Ts)?$/
const moduleFile = /^(?:.*\/)?(\d+)_([^.]+)\.(?:[cm]?[jt]s)$/
const anyFile = /^(?:.*\/)?(\d+)_([^.]+)\.(?:[cm]?[jt]s|sql)$/

/** SHA-256 of a text, in hexadecimal. Line ends do not count: a checkout may change them. */
const digest = (text: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text.replaceAll("\r\n", "\n")))),
    (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("")
  )

const script = (text: string): Step => Effect.flatMap(EffectSql.SqlClient, (sql) => sql.unsafe(text).raw)

const inOrder = (migrations: ReadonlyArray<ResolvedMigration>): ReadonlyArray<ResolvedMigration> =>
  [...migrations].sort(([a], [b]) => a - b)

export const fromRecord = (migrations: Readonly<Record<string, Migration>>): Loader =>
  Effect.map(
    Effect.forEach(Object.entries(migrations), ([key, migration]) => {
      const match = recordKey.exec(key)
      if (match === null) {
        return new MigrationError({
          reason: "bad-state",
          message: `The migration "${key}" has no number: call it "<number>_<name>", such as "1_${key}"`
        })
      }
      const of = (run: Step, checksum?: string): ResolvedMigration => [
        Number(match[1]),
        match[2]!,
        Effect.succeed(run),
        checksum
      ]
      if (typeof migration === "string") {
        return Effect.map(digest(migration), (checksum) => of(script(migration), checksum))
      }
      // What is neither is found out when it is loaded.
      const given = migration as Exclude<Migration, string> | null | undefined
      return Effect.succeed(Effect.isEffect(given) ? of(given) : of(given?.run as Step, given?.checksum))
    }),
    inOrder
  )

const fromKeys = (
  pattern: RegExp,
  keys: ReadonlyArray<string>,
  load: (key: string) => Effect.Effect<unknown>,
  sources: Readonly<Record<string, string>> | undefined
): Loader =>
  Effect.map(
    Effect.forEach(keys, (key) => {
      const match = pattern.exec(key)
      const source = sources?.[key]
      return match === null
        ? Effect.succeed([])
        : Effect.map(source === undefined ? Effect.succeed(undefined) : digest(source), (checksum) => [
            [Number(match[1]), match[2]!, load(key), checksum] satisfies ResolvedMigration
          ])
    }),
    (migrations) => inOrder(migrations.flat())
  )

export const fromGlob = (
  modules: Readonly<Record<string, () => Promise<unknown>>>,
  sources?: Readonly<Record<string, string>>
): Loader => fromKeys(moduleFile, Object.keys(modules), (key) => Effect.promise(() => modules[key]!()), sources)

export const fromBabelGlob = (modules: Readonly<Record<string, unknown>>): Loader =>
  fromKeys(babelKey, Object.keys(modules), (key) => Effect.succeed(modules[key]), undefined)

/** What `import` takes; a path may contain what has a meaning in a URL. */
export const urlOf = (path: string): string => {
  const slashes = path.replaceAll("\\", "/").replaceAll("%", "%25")
  return Object.assign(new URL("file:///"), { pathname: slashes.startsWith("/") ? slashes : `/${slashes}` }).href
}

export const fromFileSystem = (directory: string): Loader<FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem
    const folder = yield* files.realPath(directory)
    const names = (yield* files.readDirectory(folder)).filter((name) => anyFile.test(name))
    const migrations = yield* Effect.forEach(names, (name) =>
      Effect.gen(function* () {
        const path = `${folder}/${name}`
        const [, id, title] = anyFile.exec(name)!
        const text = yield* files.readFileString(path)
        const load = name.endsWith(".sql")
          ? Effect.succeed(script(text))
          : Effect.promise((): Promise<unknown> => import(/* @vite-ignore */ /* webpackIgnore: true */ urlOf(path)))
        return [Number(id), title!, load, yield* digest(text)] satisfies ResolvedMigration
      })
    )
    return inOrder(migrations)
  }).pipe(
    Effect.mapError(
      (cause) =>
        new MigrationError({
          reason: "import-error",
          message: `The migrations in ${directory} could not be read: ${cause.message}`,
          cause
        })
    )
  )
