import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { freePort } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { asRequires } from './application.ts'
import { PackageSet } from './package-set.ts'

const packages = new PackageSet()
let application: ChildProcess | undefined

beforeAll(() => packages.unpack())
afterEach(async () => {
  if (application?.kill()) await once(application, 'exit')
})
afterAll(() => packages.remove())

const readme = readFileSync(new URL('../../packages/telemetry/README.md', import.meta.url), 'utf8')
const [, code = ''] = /^```js\n(.*?)^```/ms.exec(readme) ?? []

test('the Express application of the README has at most ten lines', () => {
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(10)
})

test.each([
  ['an ES module', 'app.mjs', code],
  ['CommonJS', 'app.cjs', asRequires(code)],
])('as %s, it returns metrics that promtool accepts', async (_, file, text) => {
  const port = await freePort()
  const path = packages.write(file, text.replace('3000', String(port)))
  application = spawn(process.execPath, [path], { cwd: packages.folder, stdio: 'inherit' })
  const get = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  await vi.waitFor(async () => expect(await get('/')).toBe('Home'), 30_000)
  expect(await get('/')).toBe('Home')
  const metrics = await get('/metrics')
  execFileSync('promtool', ['check', 'metrics'], { input: metrics })
  const requests = 'stowage_cache_requests_total{cache="pages",driver="memory"'
  expect(metrics).toContain(`${requests},result="miss"} 1\n`)
  expect(metrics).toContain(`${requests},result="hit"} 1\n`)
})
