// Installs and builds if necessary, then starts the example application.
import { join } from 'node:path'
import { main } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { root, run } from './lib/run.mjs'

await main(async () => {
  await prepare()
  return run(process.execPath, ['dist/main.js'], { cwd: join(root, 'examples/express-app') })
})
