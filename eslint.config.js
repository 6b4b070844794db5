import tseslint from "typescript-eslint"

const noImports = (...group) => ({ "no-restricted-imports": ["error", { patterns: [{ group }] }] })

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "**/.tsbuild/**", ".build/**", "packages/bench/results/**"] },
  ...tseslint.configs.recommended,
  {
    files: ["packages/*/src/**/*.ts", "packages/*/test/**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/array-type": ["error", { default: "generic" }],
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "always" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-namespace": "off",
      "require-yield": "off"
    }
  },
  {
    // House rules for the libraries (ARCHITECTURE.md): Effects instead of promises, nothing printed.
    files: ["packages/{sql,sqlite,mapepire,mapepire-server}/src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-syntax": [
        "error",
        ...["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"].map((kind) => ({
          selector: `${kind}[async=true]`,
          message: "Library code returns Effects, not promises."
        }))
      ]
    }
  },
  // Packages depend on each other one way, and never on themselves by name.
  { files: ["packages/sql/src/**/*.ts"], rules: noImports("@sluice/*") },
  {
    files: ["packages/sqlite/src/**/*.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [{ group: ["@sluice/*", "!@sluice/sql"] }],
          paths: [
            {
              name: "node:module",
              importNames: ["createRequire"],
              message: "webpack makes undefined of what it answers: take requireFrom (internal/packageFolder.ts)."
            }
          ]
        }
      ]
    }
  },
  { files: ["packages/mapepire/src/**/*.ts"], rules: noImports("@sluice/*", "!@sluice/sql") },
  {
    // The server runs over any transport; only its command, and what it serves without one, know SQLite.
    files: ["packages/mapepire-server/src/**/*.ts"],
    ignores: [
      "packages/mapepire-server/src/bin.ts",
      "packages/mapepire-server/src/internal/bin/**",
      "packages/mapepire-server/src/internal/temporary.ts"
    ],
    rules: noImports("@sluice/*", "!@sluice/sql", "!@sluice/mapepire")
  },
  {
    // The worker must start fast: nothing of Effect may be loaded there. (A test follows its imports further.)
    files: ["packages/sqlite/src/worker.ts", "packages/sqlite/src/internal/worker/**/*.ts"],
    rules: noImports("effect", "@effect/*", "@sluice/*")
  },
  { files: ["packages/*/test/**/*.ts"], rules: { "@typescript-eslint/no-explicit-any": "off" } }
)
