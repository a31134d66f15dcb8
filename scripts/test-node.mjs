// Runs the tests with another version of Node: npm run test:node 24 -- packages/core
import { execFileSync } from 'node:child_process'
import { delimiter, dirname } from 'node:path'
import { main, UserError } from './lib/cli.mjs'
import { run } from './lib/run.mjs'

await main(() => {
  const [version, ...args] = process.argv.slice(2)
  if (!/^\d+(\.\d+)*$/.test(version ?? '')) throw new UserError('Usage: npm run test:node 24')
  const node = pathOfNode(version)
  const PATH = `${dirname(node)}${delimiter}${process.env.PATH}`
  return run(node, ['scripts/test.mjs', ...args], { env: { PATH } })
})

/**
 * Downloads the version if necessary. The tests are not started by npx itself: they run npx as well, which would inherit
 * the option `--package`.
 */
function pathOfNode(version) {
  const args = ['--yes', '--package', `node@${version}`, 'node', '-p', 'process.execPath']
  return execFileSync('npx', args, { encoding: 'utf8' }).trim().split('\n').at(-1)
}
