import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type DynamoDBServer, startDynamoDB } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'

const built = (name: string) => fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url))
const execute = promisify(execFile)
const processes: ChildProcess[] = []
let dynamo: DynamoDBServer
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  dynamo = await startDynamoDB()
  env = { ...process.env, ...dynamo.env, PORT: '0', SESSION_TABLE: 'sessions' }
})

afterAll(async () => {
  for (const child of processes) child.kill('SIGKILL')
  await dynamo?.stop()
})

async function tool(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await execute(process.execPath, [built(name), ...args], { env })
  expect(stderr).toBe('')
  return stdout
}

/** A process of the app; returns where it listens. */
async function startApp(): Promise<string> {
  const child = spawn(process.execPath, [built('main')], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  processes.push(child)
  const [line] = await once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data')
  return /http:\S+/.exec(`${line}`)?.[0] ?? ''
}

it('creates its tables, or prints them for Terraform', async () => {
  expect(await tool('tables')).toBe(
    'cache is there, and its TTL is on.\nsessions is there, and its TTL is on.\n',
  )
  expect(await tool('tables', '--terraform')).toContain('"aws_dynamodb_table" "sessions"')
})

it('has one session over two processes, each of which sees what the other wrote', async () => {
  const urls = [await startApp(), await startApp()]
  const first = await fetch(urls[0] as string)
  const cookie = first.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  expect(await first.json()).toEqual({ greeting: 'Hello', visits: 1 })
  for (let visits = 2; visits <= 7; visits++) {
    const answer = await fetch(urls[visits % 2] as string, { headers: { cookie } })
    expect(await answer.json()).toEqual({ greeting: 'Hello', visits })
  }
  const shown = await tool('show')
  expect(shown).toMatch(/^session:.*… until \d{4}-.*"visits":7/m)
  expect(shown).not.toContain(decodeURIComponent(cookie).slice(-80, -44))

  const signOut = { method: 'POST', headers: { cookie } }
  expect((await fetch(`${urls[0]}/sign-out`, signOut)).status).toBe(204)
  const afterwards = await fetch(urls[1] as string, { headers: { cookie } })
  expect(await afterwards.json()).toEqual({ greeting: 'Hello', visits: 1 })
})

it('ends when it is told to', async () => {
  for (const child of processes) {
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
  }
})
