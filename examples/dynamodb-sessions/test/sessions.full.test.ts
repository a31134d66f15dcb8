import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AppProcess, type Variables } from '@stowage/example-shared/testing'
import { type DynamoDBDatabase, sharedDynamoDB } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, it } from 'vitest'

const built = (name: string) => new URL(`../dist/${name}.js`, import.meta.url)
const execute = promisify(execFile)
const apps: AppProcess[] = []
let dynamo: DynamoDBDatabase
let variables: Variables

beforeAll(async () => {
  dynamo = await sharedDynamoDB()
  // Processes that share sessions share the secret.
  variables = { ...dynamo.env, SESSION_TABLE: 'sessions', SESSION_SECRET: 'only-for-this-test' }
})

afterAll(async () => {
  for (const app of apps) app.signal('SIGKILL')
  await dynamo?.stop()
})

async function runTool(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await execute(
    process.execPath,
    [fileURLToPath(built(name)), ...args],
    { env: { ...process.env, ...variables } },
  )
  expect(stderr).toBe('')
  return stdout
}

/** Starts a process of the app. Resolves to its URL. */
async function startApp(): Promise<string> {
  const app = new AppProcess(built('main'), variables)
  apps.push(app)
  return app.url()
}

it('creates its tables, or prints their Terraform resources', async () => {
  expect(await runTool('tables')).toBe(
    'cache: the table exists, with TTL enabled.\nsessions: the table exists, with TTL enabled.\n',
  )
  expect(await runTool('tables', '--terraform')).toContain('"aws_dynamodb_table" "sessions"')
})

it('shares a session between two processes, each of which reads the writes of the other', async () => {
  const urls = [await startApp(), await startApp()]
  const first = await fetch(urls[0] as string)
  const cookie = first.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  expect(await first.json()).toEqual({ greeting: 'Hello', visits: 1 })
  for (let visits = 2; visits <= 7; visits++) {
    const response = await fetch(urls[visits % 2] as string, { headers: { cookie } })
    expect(await response.json()).toEqual({ greeting: 'Hello', visits })
  }
  const shown = await runTool('show')
  expect(shown).toMatch(/^session:.*… expires \d{4}-.*"visits":7/m)
  expect(shown).not.toContain(decodeURIComponent(cookie).slice(-80, -44))

  const signOut = { method: 'POST', headers: { cookie } }
  expect((await fetch(`${urls[0]}/sign-out`, signOut)).status).toBe(204)
  const afterwards = await fetch(urls[1] as string, { headers: { cookie } })
  expect(await afterwards.json()).toEqual({ greeting: 'Hello', visits: 1 })
})

it('exits with 0 on SIGTERM, and prints no errors', async () => {
  for (const app of apps) {
    expect(await app.stop()).toBe(0)
    expect(app.stderr).toBe('')
  }
})
