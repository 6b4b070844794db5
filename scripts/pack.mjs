// What somebody gets who installs the packages: packs all, looks into the tarballs, installs them into an empty project,
// compiles programs against their declarations and runs them from there, on each engine that this machine can have.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { build } from "esbuild"
import { checkPublish } from "./check-publish.mjs"
import { declarationsOf } from "./lib/declarations.mjs"
import { fail, folderOf, Found, json, npm, pack, published, require, root } from "./lib/workspace.mjs"

const tsc = require.resolve("typescript/bin/tsc")

const checkContents = (name, paths, pump) => {
  const has = (path) => paths.includes(path) || fail(`@sluice/${name}: ${path} is missing in the tarball`)
  for (const path of ["package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"]) {
    has(path)
  }
  const { exports } = json(join(folderOf(name), "package.json"))
  for (const target of Object.values(exports)) {
    for (const path of typeof target === "string" ? [target] : Object.values(target)) has(path.replace("./", ""))
  }
  for (const path of paths) {
    const module = /^src\/([A-Z]\w*)\.ts$/.exec(path)?.[1]
    if (module !== undefined && !(`./${module}` in exports)) fail(`@sluice/${name}: ${module} is not among the exports`)
    if (/^(test|node_modules|\.tsbuild)\/|\.tsbuildinfo$|^native\/build\//.test(path)) {
      fail(`@sluice/${name}: ${path} has no business in the tarball`)
    }
    if (path.startsWith("dist/") && path.endsWith(".js") && !path.endsWith("/bundle.js")) {
      has(path.replace(/^dist\/(.*)\.js$/, "src/$1.ts"))
    }
  }
  for (const path of declarationsOf(folderOf(name))) has(relative(folderOf(name), path))
  if (name === "sqlite") {
    has("dist/internal/worker/bundle.js")
    const alone = paths.find((path) => /^dist\/internal\/worker\/(?!bundle\.js$)/.test(path))
    if (alone !== undefined) fail(`@sluice/sqlite: ${alone} has no business beside the bundle`)
    has("native/pump.h")
    has("native/build.mjs")
    if (pump && !paths.some((path) => /^prebuilds\/.*\.node$/.test(path))) fail("@sluice/sqlite: no prebuilt pump")
  }
}

const program = `import { SqlClient, SqlFailure } from "@sluice/sql"
import { SqliteClient } from "@sluice/sqlite"
import * as SqliteTransport from "@sluice/sqlite/SqliteTransport"
import { Effect, Layer, Stream } from "effect"

const engine = process.argv[2] as "auto" | "native" | "portable"

const query = Effect.gen(function*() {
  const sql = yield* SqliteClient.SqliteClient
  yield* sql\`create table t(a integer primary key, b text)\`
  const { changes } = yield* sql.many("insert into t(b) values (?)", [["one"], ["two"], ["three"]])
  const rows = yield* sql<{ b: string }>\`select b from t\`.stream.pipe(SqlClient.withPrefetch(2), Stream.runCollect)
  const taken = yield* sql\`insert into t values (1, 'again')\`.pipe(
    Effect.as(false),
    Effect.catchIf(SqlFailure.is("UniqueViolation"), () => Effect.succeed(true))
  )
  return [sql.engine.kind, changes, [...rows].map((row) => row.b).join(), taken].join(" ")
})

const transport: Layer.Layer<SqlClient.SqlClient, unknown> = SqlClient.layer.pipe(
  Layer.provide(SqliteTransport.layer({ filename: ":memory:", engine }))
)
const one = Effect.flatMap(SqlClient.SqlClient, (sql) => sql\`select 1 as one\`.values).pipe(Effect.provide(transport))

const answer = await Effect.runPromise(
  Effect.zip(query.pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", engine }))), one)
)
console.log(JSON.stringify(answer))
`

const overMapepire = `import { MapepireClient } from "@sluice/mapepire"
import * as MapepireServer from "@sluice/mapepire-server/MapepireServer"
import { SqlClient } from "@sluice/sql"
import { SqliteTransport } from "@sluice/sqlite"
import { Effect, Layer, Redacted } from "effect"

const password = Redacted.make("secret")

const Server = MapepireServer.layer({ port: 0, users: { DEV: password }, seed: MapepireServer.sample }).pipe(
  Layer.provide(SqliteTransport.layer({ filename: "sample.db" }))
)
const Db2 = Layer.unwrapEffect(
  Effect.map(MapepireServer.MapepireServer, ({ certificate, commonName, host, port }) =>
    MapepireClient.layer({ host, port, user: "DEV", password, tls: { ca: certificate, servername: commonName } })
  )
).pipe(Layer.provide(Server))

const query = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ n: number }>\`select \${7} as n from sysibm.sysdummy1\`
)

console.log(JSON.stringify(await Effect.runPromise(Effect.provide(query, Db2))))
`

const bundled = `import { SqliteClient } from "@sluice/sqlite"
import { Effect } from "effect"

const kind = Effect.flatMap(SqliteClient.SqliteClient, (sql) => Effect.as(sql\`select 1\`, sql.engine.kind))
const Sql = SqliteClient.layer({ filename: ":memory:", workerUrl: process.argv[2] })
Effect.runPromise(Effect.provide(kind, Sql)).then(console.log, (error) => console.log(error.message))
`

/**
 * The package in the program's own file, where it sees the installed one, and where it does not and is told of the worker
 * or not.
 */
const checkBundles = async (folder, project, kind) => {
  const worker = join(project, "node_modules/@sluice/sqlite/dist/internal/worker/bundle.js")
  const stdin = { contents: bundled, resolveDir: project }
  for (const format of ["esm", "cjs"]) {
    for (const [place, told, expected] of [
      [project, [], kind],
      [folder, [worker], kind],
      [folder, [], /Is the program a bundle\? .* workerUrl/]
    ]) {
      const outfile = join(place, format === "esm" ? "bundled.mjs" : "bundled.cjs")
      const logOverride = { "empty-import-meta": "silent" }
      await build({ stdin, outfile, format, logOverride, bundle: true, platform: "node", logLevel: "error" })
      const output = execFileSync(process.execPath, [outfile, ...told], { encoding: "utf8" }).trim()
      if (typeof expected === "string" ? output !== expected : !expected.test(output)) {
        fail(`A bundle (${format}) in ${place}, told ${told.length} workers, said ${output} instead of ${expected}`)
      }
    }
  }
}

/** An environment in which nothing can be compiled: Node is all that there is to be run. */
const withoutCompiler = (folder) => {
  const bin = join(folder, "bin")
  mkdirSync(bin)
  symlinkSync(process.execPath, join(bin, "node"))
  return { ...process.env, CC: "", PATH: bin }
}

/** An empty project that has installed the tarballs, with their peers from the registry. */
const install = (folder, tarballs, env) => {
  const { overrides } = json(join(root, "package.json"))
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      name: "consumer",
      private: true,
      type: "module",
      overrides,
      allowScripts: { "@parcel/watcher": false, "@photostructure/sqlite": false, "msgpackr-extract": false }
    })
  )
  npm(folder, ["install", "--no-fund", "--no-audit", "--prefer-offline", ...tarballs], env)
}

const typeCheck = (folder) => {
  writeFileSync(join(folder, "main.ts"), program)
  writeFileSync(join(folder, "mapepire.ts"), overMapepire)
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        ...{ target: "ES2022", lib: ["ES2023"], module: "NodeNext", strict: true, skipLibCheck: true },
        ...{ types: ["node"], typeRoots: [join(root, "node_modules", "@types")], outDir: "out", rootDir: "." }
      },
      files: ["main.ts", "mapepire.ts"]
    })
  )
  execFileSync(process.execPath, [tsc, "-p", folder], { stdio: "inherit" })
}

const folder = mkdtempSync(join(tmpdir(), "sluice-pack-"))
try {
  const packed = published.map((name) => [name, pack(name, folder)])
  const pump = existsSync(join(folderOf("sqlite"), "native", "build", "pump.node"))
  for (const [name, { paths }] of packed) {
    checkContents(name, paths, pump)
    console.log(`@sluice/${name}: ${paths.length} files, nothing missing, nothing superfluous`)
  }
  await checkPublish(packed)
  const project = join(folder, "project")
  mkdirSync(project)
  const bare = withoutCompiler(folder)
  install(
    project,
    packed.map(([, { tarball }]) => tarball),
    bare
  )
  typeCheck(project)
  console.log("programs compile against the declarations")
  const runs = [
    ...(pump ? [["native", "native"]] : []),
    ["portable", "portable"],
    ["auto", pump ? "native" : "portable"]
  ]
  for (const [asked, kind] of runs) {
    const options = { cwd: project, encoding: "utf8", env: bare }
    const output = execFileSync(process.execPath, ["out/main.js", asked], options).trim()
    const expected = JSON.stringify([`${kind} 3 one,two,three true`, [[1]]])
    if (output !== expected) fail(`Asked for the engine "${asked}", it answered ${output} instead of ${expected}`)
    console.log(`installed without a compiler: a query runs with engine "${asked}", on the ${kind} one`)
  }
  await checkBundles(folder, project, pump ? "native" : "portable")
  console.log("bundled it finds its worker and its pump, or says what to do")
  const db2 = execFileSync(process.execPath, ["out/mapepire.js"], { cwd: project, encoding: "utf8" }).trim()
  if (db2 !== `[{"n":7}]`) fail(`The Mapepire client and server answered ${db2}`)
  console.log("the installed client asks the installed server over TLS")
  const help = npm(project, ["exec", "--", "sluice-mapepire-server", "--help"])
  if (!help.includes("--plain")) fail(`sluice-mapepire-server --help said ${help}`)
  console.log("the server's command runs")
  if (!pump) console.log("no C compiler here, so no native engine")
} catch (error) {
  console.error(error instanceof Found ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
