// Runs seeds of scenarios, and exits with 1 at the first finding: node simulate.mjs <seeds> <scenario> …
import { scenarios } from '@stowage/scenarios'
import { simulateSeed } from '@stowage/testing/simulation'

const [seeds, ...names] = process.argv.slice(2)
const chosen = names.length > 0 ? names : Object.keys(scenarios)
// All scenarios in turn, because the first seeds find most.
for (let seed = 0; seed < Number(seeds); seed++) {
  for (const name of chosen) {
    if ((await simulateSeed(scenarios[name], seed, {})) === undefined) continue
    console.log(`${name}, seed ${seed}`)
    process.exit(1)
  }
}
