// The applications on Express that pages print, as somebody who has the tarballs only starts them: they have what a reader
// installs, and are used over HTTP.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, type RedisServer, startRedis } from '@stowage/test-servers'
import { transform } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { asRequires } from './application.ts'
import { PackageSet } from './package-set.ts'

const packages = new PackageSet()
const running: ChildProcess[] = []
let redis: RedisServer

beforeAll(async () => {
  redis = await startRedis()
  await packages.unpack()
})
afterEach(async () => {
  for (const child of running.splice(0)) await end(child)
})
afterAll(async () => {
  await redis.stop()
  packages.remove()
})

describe('the Express application of the README of telemetry', () => {
  const page = read('packages/telemetry/README.md')
  const code = blockOf(page, 'js')

  test('has at most ten lines', () => {
    expect(code.trim().split('\n').length).toBeLessThanOrEqual(10)
  })

  test.each([
    ['an ES module', 'app.mjs', code],
    ['CommonJS', 'app.cjs', asRequires(code)],
  ])('as %s, it is scraped by the Prometheus that the page configures', async (_, file, text) => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    await start(packages.write(file, text.replace('3000', `${port}`)), `${url}/metrics`)
    const get = async (path: string) => (await fetch(url + path)).text()
    expect([await get('/'), await get('/')]).toEqual(['Home', 'Home'])
    const metrics = await get('/metrics')
    execFileSync('promtool', ['check', 'metrics'], { input: metrics })
    const requests = 'stowage_cache_requests_total{cache="pages",driver="memory"'
    expect(metrics).toContain(`${requests},result="miss"} 1\n`)
    expect(metrics).toContain(`${requests},result="hit"} 1\n`)
    const query = await startPrometheus(blockOf(page, 'yaml').replace('3000', `${port}`))
    const scraped = `${requests},job="app",result="hit"}`
    await vi.waitFor(async () => expect(await query(scraped)).toEqual(['1']), 60_000)
  })
})

test('sessions of Getting started are kept over a restart', async () => {
  const page = read('docs/getting-started.md')
  packages.write('shop/package.json', '{ "type": "module" }')
  packages.write('shop/app.js', blockOf(page, 'ts', 'app.ts'))
  const port = await freePort()
  const server = packages.write('shop/server.js', blockOf(page, 'js').replace('3000', `${port}`))
  const variables = {
    ...{ CACHE_DRIVER: 'redis', REDIS_URL: redis.url },
    SESSION_SECRET: 'a secret of at least 32 characters',
  }
  const client = new Client(`http://127.0.0.1:${port}`)
  const first = await start(server, client.url, variables)
  const visits = [await client.text('/'), await client.text('/')]
  expect(await end(first)).toBe(0)
  await start(server, client.url, variables)
  visits.push(await client.text('/'))
  expect(visits).toEqual([1, 2, 3].map((visit) => `Visit ${visit}, kept in redis\n`))
})

test.each(['memory', 'redis'])(
  'a user of the application of Sessions signs out everywhere, on %s',
  async (driver) => {
    const port = await freePort()
    const { code } = await transform(blockOf(read('docs/sessions.md'), 'ts', 'app.ts'), {
      loader: 'ts',
    })
    const file = packages.write('sessions.mjs', `${code}\napp.listen(${port}, '127.0.0.1')`)
    const url = `http://127.0.0.1:${port}`
    await start(file, url, { NODE_ENV: 'development', CACHE_DRIVER: driver, REDIS_URL: redis.url })
    const [phone, laptop, tablet] = [new Client(url), new Client(url), new Client(url)]
    for (const client of [phone, laptop, tablet]) await client.post('/login')
    expect(await laptop.text('/')).toBe('Sessions of ada: 3\n')
    await tablet.post('/logout')
    expect([await tablet.text('/'), await phone.text('/')]).toEqual([
      'Signed out\n',
      'Sessions of ada: 2\n',
    ])
    await phone.post('/logout-everywhere')
    for (const client of [phone, laptop]) expect(await client.text('/')).toBe('Signed out\n')
    await phone.post('/login')
    expect(await phone.text('/')).toBe('Sessions of ada: 1\n')
  },
)

/** A browser that follows no redirects. */
class Client {
  readonly url: string
  #cookie = ''

  constructor(url: string) {
    this.url = url
  }

  async text(path: string): Promise<string> {
    return (await this.#fetch(path, 'GET')).text()
  }

  async post(path: string): Promise<void> {
    expect((await this.#fetch(path, 'POST')).status).toBe(302)
  }

  async #fetch(path: string, method: string): Promise<Response> {
    const headers = { cookie: this.#cookie }
    const response = await fetch(this.url + path, { method, headers, redirect: 'manual' })
    const [cookie] = response.headers.getSetCookie()
    if (cookie !== undefined) this.#cookie = cookie.split(';')[0] ?? ''
    return response
  }
}

/** Starts a program. Resolves when it answers at `url`. */
async function start(file: string, url: string, variables: NodeJS.ProcessEnv = {}) {
  const env = { PATH: process.env.PATH, ...variables }
  const child = spawn(process.execPath, [file], { env, cwd: packages.folder, stdio: 'inherit' })
  running.push(child)
  await vi.waitFor(() => fetch(url), 60_000)
  return child
}

/** Ends a process as an operator does. Resolves to its exit code. */
async function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.kill()) await once(child, 'exit')
  return child.exitCode
}

async function startPrometheus(configuration: string) {
  const port = await freePort()
  const often = 'global:\n  scrape_interval: 500ms\n'
  const file = packages.write('prometheus.yml', often + configuration)
  const args = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(packages.folder, `data-${port}`)}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  running.push(spawn('prometheus', args, { stdio: 'ignore' }))
  return async (text: string): Promise<string[]> => {
    const query = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(text)}`
    const { data } = (await (await fetch(query)).json()) as {
      data: { result: { value: [number, string] }[] }
    }
    return data.result.map(({ value }) => value[1])
  }
}

function read(page: string): string {
  return readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8')
}

/** The first block of a page in a language, with this title. */
function blockOf(page: string, language: string, title?: string): string {
  const info = title === undefined ? language : `${language} title="${title}"`
  const [, code] = new RegExp(`^\`\`\`${info}\n([\\s\\S]*?)^\`\`\``, 'm').exec(page) ?? []
  if (code === undefined) throw new Error(`no block ${info}`)
  return code
}
