// Compiles and bundles the packages that have changed.
import { main } from './lib/cli.mjs'
import { build } from './lib/prepare.mjs'

await main(() => build())
