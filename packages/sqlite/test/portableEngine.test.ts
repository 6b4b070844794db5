import { describe, expect, it } from "vitest"
import { sharedBytes } from "../src/internal/boundary.js"
import { safest } from "../src/internal/opening.js"
import { findFaults } from "../src/internal/worker/bindings.js"
import { carrier } from "../src/internal/carrier.js"
import { portableEngine } from "../src/internal/worker/portableEngine.js"
import { engineSuite } from "./engineSuite.js"

const chosen = carrier()
const database = new chosen.DatabaseSync(":memory:")
const { nul } = database.prepare("SELECT 'a' || char(0) || 'b' AS nul").get() as { readonly nul: string }

engineSuite(`portable engine (${chosen.name})`, () => portableEngine(carrier()), { nul: nul.length === 3 })

describe("carrier", () => {
  it("is chosen once and knows its version", () => {
    expect(carrier()).toBe(chosen)
    expect(chosen.version).toMatch(/^3\.\d+\.\d+$/)
    expect(["node:sqlite", "@photostructure/sqlite"]).toContain(chosen.name)
  })

  it("tells how it changes values", () => {
    const faults = findFaults(chosen)
    expect(typeof faults.floats).toBe("boolean")
    expect(typeof faults.texts).toBe("boolean")
  })
})

describe("portable engine", () => {
  it("enforces foreign keys and loads no extension by SQL", () => {
    const connection = portableEngine(chosen).open({
      filename: ":memory:",
      readonly: false,
      create: true,
      shared: new SharedArrayBuffer(sharedBytes),
      progressSteps: 1000,
      busyTimeout: 0,
      safety: safest
    })
    connection.exec("CREATE TABLE a(x PRIMARY KEY); CREATE TABLE b(y REFERENCES a(x))")
    expect(() => connection.exec("INSERT INTO b VALUES (1)")).toThrow("FOREIGN KEY")
    expect(() => connection.exec("SELECT load_extension('x')")).toThrow("not authorized")
    connection.close()
  })
})
