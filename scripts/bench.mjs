// Compares Stowage with plain clients and other libraries: npm run bench -- memory redis --quick
import { main } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'

await main(async () => {
  await prepare(['@stowage/benchmarks'])
  // In this process, not in a child: a signal that ends this process then also ends the servers.
  await import('../benchmarks/run.mjs')
  return process.exitCode
})
