// Compares Stowage with the raw client and with its peers: npm run bench -- memory redis --quick
import { prepare } from './lib/prepare.mjs'
import { main } from './lib/progress.mjs'

await main(async () => {
  await prepare()
  // In this process, not in one below it: whoever stops this one stops the servers, too.
  await import('../benchmarks/run.mjs')
  return process.exitCode
})
