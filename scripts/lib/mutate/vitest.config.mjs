import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import InOrder from './in-order.mjs'
import { runBundleOf } from './source-exports.mjs'

const { bundle } = JSON.parse(readFileSync(process.env.STOWAGE_MUTANT_FILE, 'utf8'))

/** The tests of a mutant: in one process, until the first failure, without servers. */
export default defineConfig({
  plugins: [runBundleOf(bundle)],
  test: {
    include: ['packages/*/test/**/*.test.ts'],
    isolate: false,
    fileParallelism: false,
    bail: 1,
    sequence: { sequencer: InOrder },
    setupFiles: [fileURLToPath(new URL('take-coverage.mjs', import.meta.url))],
    testTimeout: 10_000,
    expect: { poll: { timeout: 5_000 } },
    execArgv: ['--disable-warning=STOWAGE_SHORT_TTL'],
    server: { deps: { external: [/\/dist\//] } },
  },
})
