// Whether the packages are fit to be published: publint and "are the types wrong" look at the tarballs, their sizes keep
// within a budget, bundlers can leave out what a program does not use, and the notices name what is depended on.
//
//     npm run check:publish
import { publint } from "publint"
import { formatMessage } from "publint/utils"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { fail, folderOf, Found, isMain, json, pack, published, require, root } from "./lib/workspace.mjs"
import { checkDeclarationsAlone } from "./lib/declarations.mjs"
import { checkNotices } from "./notices.mjs"

/**
 * Kilobytes (1,000 bytes) of each tarball, packed and unpacked: a fifth above what they were when this was written.
 * Growth is allowed, unnoticed growth is not. That of sqlite includes one pump; each further platform has its own share.
 */
const budgets = {
  sql: [310, 1_400],
  sqlite: [540, 2_200],
  mapepire: [280, 1_250],
  "mapepire-server": [230, 950]
}
const perPump = [60, 160]

const checkSize = (name, { paths, size, unpackedSize }) => {
  const further = Math.max(0, paths.filter((path) => path.startsWith("prebuilds/")).length - 1)
  const [packed, unpacked] = budgets[name].map((budget, index) => (budget + further * perPump[index]) * 1_000)
  const told = `${(size / 1_000).toFixed(0)} kB packed, ${(unpackedSize / 1_000).toFixed(0)} kB unpacked`
  if (size > packed || unpackedSize > unpacked) {
    fail(`@sluice/${name}: ${told} is more than its budget in scripts/check-publish.mjs (${packed}, ${unpacked} bytes)`)
  }
  return told
}

const checkManifest = async (name, { tarball }) => {
  const bytes = readFileSync(tarball)
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) },
    strict: true
  })
  if (messages.length > 0) {
    fail(`@sluice/${name}, publint:\n${messages.map((message) => formatMessage(message, pkg)).join("\n")}`)
  }
}

/** The maps that declarations name are in the tarball, and older compilers understand them. */
const checkDeclarations = (name, { paths }) => {
  for (const path of paths.filter((path) => path.endsWith(".d.ts"))) {
    const text = readFileSync(join(folderOf(name), path), "utf8")
    const map = /^\/\/# sourceMappingURL=(.+)$/m.exec(text)?.[1]
    if (map !== undefined && !paths.includes(`${path.slice(0, path.lastIndexOf("/"))}/${map}`)) {
      fail(`@sluice/${name}: ${path} names ${map}, which is not in the tarball`)
    }
    const generic = /\b\w+\d+\w*Array<\w+>/.exec(text)?.[0]
    if (generic !== undefined) fail(`@sluice/${name}: ${path} has ${generic}, new in TypeScript 5.7: say the type`)
  }
}

/** Problems of the kinds that a package for ESM alone has on purpose. */
const onPurpose = new Set(["CJSResolvesToESM"])

const checkTypes = async (name, { tarball }) => {
  // Of the command's own dependencies, so that there is one version of both.
  const core = createRequire(require.resolve("@arethetypeswrong/cli/package.json")).resolve("@arethetypeswrong/core")
  const { checkPackage, createPackageFromTarballData } = await import(pathToFileURL(core).href)
  const { problems, types } = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(tarball))))
  if (types === false) fail(`@sluice/${name} has no types`)
  // "node10" is TypeScript's resolution for a Node that knew no exports, which is older than any Node supported here.
  const wrong = problems.filter(({ kind, resolutionKind }) => !onPurpose.has(kind) && resolutionKind !== "node10")
  if (wrong.length > 0) fail(`@sluice/${name}, are the types wrong: ${JSON.stringify(wrong, undefined, 2)}`)
}

/** Programs, and what of the packages must not be in their bundles: files, and words. */
const shaken = [
  [
    'import { Query } from "@sluice/sql"\nglobalThis.used = Query.all',
    /SessionPool|sessionPool|igrator|\/test\/|TestTransport/
  ],
  [
    'import { SqlFailure } from "@sluice/sql"\nglobalThis.used = SqlFailure.is',
    /\/(?!SqlFailure\.js$|index\.js$)[A-Za-z]+\.js$/
  ],
  // Of a namespace that an index has, esbuild keeps all.
  ['import { is } from "@sluice/sql/SqlFailure"\nglobalThis.used = is', /\/internal\//, /Schedule\.\w+/],
  ['import { withDeadline } from "@sluice/sql/SqlClient"\nglobalThis.used = withDeadline', /Pool/, /GenericTag/],
  ['import { scripted } from "@sluice/sql/TestTransport"\nglobalThis.used = scripted', /\/rolledBack\.js$/],
  [
    'import { Db2Compiler } from "@sluice/mapepire"\nglobalThis.used = Db2Compiler.make',
    /Mapepire(Job|Client|Transport)\.js|webSocket|\/job\//
  ]
]

const checkTreeShaking = async () => {
  // vite's own: the bundler that is here anyway.
  const { build } = createRequire(require.resolve("vite/package.json"))("esbuild")
  for (const [program, unwanted, words = /^\b$/] of shaken) {
    const { metafile, outputFiles } = await build({
      stdin: { contents: program, resolveDir: join(root, "packages", "examples") },
      external: ["effect", "effect/*", "@effect/*", "ws"],
      ...{ bundle: true, format: "esm", platform: "node", metafile: true, write: false, logLevel: "error" }
    })
    const [{ inputs }] = Object.values(metafile.outputs)
    const kept = Object.entries(inputs).filter(([path, { bytesInOutput }]) => bytesInOutput > 0 && unwanted.test(path))
    const word = words.exec(outputFiles[0].text)?.[0]
    if (kept.length > 0 || word !== undefined) {
      const paths = [...kept.map(([path]) => path), ...(word === undefined ? [] : [word])].join(", ")
      fail(
        `A bundle of\n  ${program.replace("\n", "\n  ")}\nhas ${paths} in it: a call at top level is not marked /* @__PURE__ */`
      )
    }
  }
}

const checkLicences = (name) => {
  const { license } = json(join(folderOf(name), "package.json"))
  const text = readFileSync(join(folderOf(name), "LICENSE"), "utf8")
  if (license !== "MIT" || text !== readFileSync(join(root, "LICENSE"), "utf8")) {
    fail(`@sluice/${name}: its LICENSE or its "license" is not that of the repository`)
  }
}

/** All checks, on tarballs that were packed already: a list of name and what `pack` has answered. */
export const checkPublish = async (packed) => {
  checkNotices()
  for (const [name, one] of packed) {
    checkLicences(name)
    await checkManifest(name, one)
    await checkTypes(name, one)
    checkDeclarations(name, one)
    checkDeclarationsAlone(name)
    console.log(`@sluice/${name}: exports and types are right, ${checkSize(name, one)}`)
  }
  await checkTreeShaking()
  console.log("bundles have only what is used in them; the third-party notices are right")
}

if (isMain(import.meta.filename)) {
  const folder = mkdtempSync(join(tmpdir(), "sluice-publish-"))
  try {
    await checkPublish(published.map((name) => [name, pack(name, folder)]))
  } catch (error) {
    console.error(error instanceof Found ? error.message : error)
    process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
