// Runs all checks, and the tests of the first tier. Arguments are passed to Vitest: npm test -- packages/core
import { main } from './lib/cli.mjs'
import { runChecksAndTests } from './lib/run-tests.mjs'

await main(() => runChecksAndTests(process.argv.slice(2)))
