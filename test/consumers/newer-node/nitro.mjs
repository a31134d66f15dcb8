// A server of Nitro 3, built and started twice: the second process uses what the first one has stored in Redis.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('nitro', import.meta.url))
const files = {
  'nitro.config.ts': `
import { defineNitroConfig } from 'nitro/config'
const cache = { driver: './stowage-driver.ts', base: 'nitro', ttl: 3_600 }
const preset = 'node_middleware'
export default defineNitroConfig({ preset, serverDir: '.', output: { dir: './out' }, storage: { cache } })`,
  // The server of Nitro does not listen on a free port.
  'listen.mjs': `
import { createServer } from 'node:http'
import { middleware } from './out/server/index.mjs'
const server = createServer(middleware).listen(0, '127.0.0.1', () => console.log(server.address().port))`,
  'stowage-driver.ts': `
import { unstorageFromEnv } from '@stowage/bridges/unstorage'
import { DriverRegistry } from '@stowage/core'
export default unstorageFromEnv(new DriverRegistry({ redis: () => import('@stowage/redis') }))`,
  'routes/price.ts': `
import { defineHandler } from 'nitro/h3'
import { defineCachedFunction } from 'nitro/runtime'
let loads = 0
const load = async () => \`\${++loads} of \${process.pid}\`
const cached = defineCachedFunction(load, { name: 'price', getKey: () => 'key', maxAge: 60 })
export default defineHandler(() => cached())`,
}
mkdirSync(`${folder}/routes`, { recursive: true })
for (const [name, text] of Object.entries(files)) writeFileSync(`${folder}/${name}`, text)
const cli = fileURLToPath(new URL('node_modules/nitro/dist/cli/index.mjs', import.meta.url))
execFileSync(process.execPath, [cli, 'build'], { cwd: folder, stdio: 'ignore' })

async function start() {
  const child = spawn(process.execPath, ['listen.mjs'], {
    cwd: folder,
    env: { ...process.env, CACHE_DRIVER: 'redis' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.on('exit', () => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) {
    return async () => (await fetch(`http://127.0.0.1:${line}/price`)).text()
  }
  throw new Error('The server has ended.')
}

const [first, second] = await Promise.all([start(), start()])
// Nitro stores it after it has responded.
let text = await first()
for (let next = await first(); next !== text; next = await first()) {
  text = next
  await setTimeout(10)
}
assert.equal(await second(), text)
console.log('done')
process.exit()
