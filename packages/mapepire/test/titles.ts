/** Titles of the tests of the client and of the server, which name the bugs and traps that they are about. */
import { readdirSync, readFileSync } from "node:fs"

const folders = ["./", "../../mapepire-server/test/"].map((path) => new URL(path, import.meta.url))

const titles: ReadonlyArray<string> = folders.flatMap((folder) =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".test.ts"))
    .flatMap((file) => [
      ...readFileSync(new URL(file, folder), "utf8").matchAll(/^\s*(?:it[.\w]*\()?["`](.*)["`],(?: \(\) =>.*)?$/gm)
    ])
    .map(([, title]) => title!)
)

/** The numbers that follow a word in any of the titles: `(bugs 2, 3)`. The pattern is global, its group a list. */
export const named = (pattern: RegExp): ReadonlySet<string> =>
  new Set(titles.flatMap((title) => [...title.matchAll(pattern)].flatMap(([, list]) => list!.split(", "))))
