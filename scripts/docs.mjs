// Keeps the documentation true: takes every block marked `ts` from the guides, the READMEs and the doc comments of the
// sources, compiles them against the built declarations, and runs those marked `ts run`. A path behind it (`ts run
// packages/examples/src/quickstart.ts`) says that the block is that very file; a block `text output` after it is what it
// prints. Links to files of the repository, and to headings in them, must lead somewhere.
import { execFile, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { published, require, root } from "./lib/workspace.mjs"

const tsc = require.resolve("typescript/bin/tsc")
// Inside of the repository, so that the blocks find the packages; a folder per process, so that two may run at once.
const folder = join(root, ".build", `docs-${process.pid}`)

const under = (path, ending) =>
  readdirSync(join(root, path), { recursive: true })
    .filter((name) => name.endsWith(ending) && !/(^|[\\/])(node_modules|dist|\.build)[\\/]/.test(name))
    .map((name) => join(path, name))

const sources = () => [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...under("docs", ".md"),
  ...under("packages", ".md"),
  ...published.flatMap((name) => under(`packages/${name}/src`, ".ts"))
]

/** The blocks of one file. In doc comments each line begins with ` * `. */
const blocksOf = (path) => {
  const text = readFileSync(join(root, path), "utf8")
  const prefix = path.endsWith(".md") ? "" : "[ \\t]*\\* ?"
  const pattern = new RegExp(`^${prefix}\`\`\`ts\\b(.*)\\n([^]*?)^${prefix}\`\`\`[ \\t]*$`, "gm")
  return [...text.matchAll(pattern)].map((match, index) => {
    const [, info, body] = match
    const [run, same] = info.trim().split(/\s+/)
    return {
      path,
      line: text.slice(0, match.index).split("\n").length,
      code: body.replaceAll(new RegExp(`^${prefix}`, "gm"), ""),
      run: run === "run",
      same,
      output: /^\s*```text output\n([^]*?)\n```/.exec(text.slice(match.index + match[0].length))?.[1],
      file: `${path.replaceAll(/[\\/.]/g, "-")}-${index + 1}.ts`
    }
  })
}

/** What GitHub makes of a heading. */
const anchorOf = (heading) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-")

const withoutBlocks = (text) => text.replaceAll(/^```[^]*?^```/gm, "")

/** Made by a command, and may not be there yet. */
const made = new Set([join(root, "packages/bench/RESULTS.md")])

/** Links of one file that lead nowhere. */
const deadLinks = (path) => {
  const links = [
    ...withoutBlocks(readFileSync(join(root, path), "utf8")).matchAll(/\]\((?![a-z]+:)([^)#]*)(?:#([^)]*))?\)/g)
  ]
  return links.flatMap(([link, target, anchor]) => {
    const file = target === "" ? join(root, path) : join(root, dirname(path), target)
    if (!existsSync(file)) return made.has(file) ? [] : [`${path}: ${link} leads nowhere`]
    if (anchor === undefined) return []
    const headings = withoutBlocks(readFileSync(file, "utf8")).matchAll(/^#+ (.*)$/gm)
    return [...headings].some(([, heading]) => anchorOf(heading) === anchor)
      ? []
      : [`${path}: ${link}: no such heading`]
  })
}

/** Takes blocks from the list and runs them, one after the other, each in an empty folder. */
const run = async (waiting) => {
  for (let block = waiting.shift(); block !== undefined; block = waiting.shift()) {
    const { file, line, output, path } = block
    const cwd = mkdtempSync(join(tmpdir(), "sluice-docs-"))
    const script = join(folder, "out", file.replace(/\.ts$/, ".js"))
    const [error, stdout, stderr] = await new Promise((resolve) => {
      execFile(process.execPath, [script], { cwd, encoding: "utf8", timeout: 60_000 }, (...answer) => resolve(answer))
    })
    rmSync(cwd, { recursive: true, force: true })
    if (error !== null) failures.push(`${path}:${line}: failed when it was run\n${stdout}${stderr}`)
    else if (stderr !== "") failures.push(`${path}:${line}: printed on stderr\n${stderr}`)
    else if (output !== undefined && output.trim() !== stdout.trim()) {
      failures.push(`${path}:${line}: printed something else\n${stdout}`)
    }
  }
}

const failures = []
const blocks = sources().flatMap(blocksOf)
failures.push(
  ...sources()
    .filter((path) => path.endsWith(".md"))
    .flatMap(deadLinks)
)

try {
  mkdirSync(folder, { recursive: true })
  for (const { code, file, line, path, same } of blocks) {
    if (same !== undefined && readFileSync(join(root, same), "utf8").trim() !== code.trim()) {
      failures.push(`${path}:${line}: the block is not the same as ${same}`)
    }
    writeFileSync(join(folder, file), code + "\nexport {}\n")
  }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.base.json",
      compilerOptions: {
        ...{ composite: false, declarationMap: false, sourceMap: false, noUnusedLocals: false },
        ...{ rootDir: ".", outDir: "out", exactOptionalPropertyTypes: true }
      },
      files: blocks.map(({ file }) => file)
    })
  )
  const compiled = spawnSync(process.execPath, [tsc, "-p", folder, "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8"
  })
  for (const message of compiled.status === 0 ? [] : compiled.stdout.trim().split("\n")) {
    // tsc names the extracted file; the reader wants the place in the documentation.
    const match = /^(?:.*[\\/])?(.+\.ts)\((\d+),(\d+)\): (.*)$/.exec(message)
    const block = blocks.find(({ file }) => file === match?.[1])
    failures.push(
      block === undefined ? message : `${block.path}:${block.line + Number(match[2])}:${match[3]}: ${match[4]}`
    )
  }
  const runnable = compiled.status === 0 ? blocks.filter(({ run }) => run) : []
  // Two at a time: most of a program's time is its start.
  const waiting = [...runnable]
  await Promise.all([run(waiting), run(waiting)])
  console.log(`${blocks.length} code blocks compiled, ${runnable.length} run`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

for (const failure of failures) console.error(failure)
process.exitCode = failures.length === 0 && blocks.length > 0 ? 0 : 1
