import tseslint from "typescript-eslint"

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "**/.tsbuild/**", "packages/bench/results/**"] },
  ...tseslint.configs.recommended,
  {
    files: ["packages/*/src/**/*.ts", "packages/*/test/**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/array-type": ["error", { default: "generic" }],
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "always" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-namespace": "off",
      "require-yield": "off"
    }
  },
  {
    // House rules for the libraries: no console, no async functions, arrows point one way (README, design).
    files: ["packages/{sql,sqlite}/src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-restricted-syntax": [
        "error",
        { selector: "FunctionDeclaration[async=true]", message: "Library code returns Effects, not promises." },
        { selector: "ArrowFunctionExpression[async=true]", message: "Library code returns Effects, not promises." }
      ]
    }
  },
  {
    files: ["packages/sql/src/**/*.ts"],
    rules: { "no-restricted-imports": ["error", { patterns: ["@sluice/*"] }] }
  },
  {
    // The worker must start fast: nothing of Effect may be loaded there.
    files: ["packages/sqlite/src/worker.ts", "packages/sqlite/src/internal/worker/**/*.ts"],
    rules: { "no-restricted-imports": ["error", { patterns: ["effect", "effect/*", "@effect/*", "@sluice/*"] }] }
  },
  { files: ["packages/*/test/**/*.ts"], rules: { "@typescript-eslint/no-explicit-any": "off" } }
)
