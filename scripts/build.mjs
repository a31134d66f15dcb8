// Compiles and bundles what has changed.
import { build } from './lib/prepare.mjs'
import { main } from './lib/progress.mjs'

await main(build)
