import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startRedis } from '@stowage/test-servers'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryFolder } from '../src/process/temporary-folder.ts'

const execute = promisify(execFile)

test.each([
  ['startRedis', 'redis-server cannot be started: install it: apt-get install redis-server'],
  ['startMemcached', 'memcached cannot be started: install it: apt-get install memcached'],
  [
    'startDynamoDB',
    'DynamoDB Local cannot be started: it needs a Java runtime. Install it: apt-get install default-jre-headless',
  ],
])('%s names the remedy when the program is not installed', async (start, message) => {
  const script = `
    import { ${start} } from '@stowage/test-servers'
    await ${start}().catch((error) => console.log(error.message))`
  const env = { PATH: '/nonexistent', STOWAGE_REDIS_SERVER: 'redis-server' }
  const args = ['--input-type=module', '--eval', script]
  const { stdout } = await execute(process.execPath, args, { env })
  expect(stdout.trim()).toBe(message)
})

test('the output of a server tells that somebody else has ended it', async () => {
  const folder = temporaryFolder('server-logs')
  onTestFinished(() => folder.remove())
  vi.stubEnv('STOWAGE_SERVER_LOGS', folder.path)
  onTestFinished(() => void vi.unstubAllEnvs())
  const ended = await startRedis()
  const stopped = await startRedis()
  process.kill(ended.pid, 'SIGKILL')
  await stopped.stop()
  const outputs = () =>
    readdirSync(folder.path).map((name) => readFileSync(join(folder.path, name), 'utf8'))
  const endings = () => outputs().flatMap((text) => text.match(/redis-server exited .*/g) ?? [])
  await expect
    .poll(endings)
    .toEqual(['redis-server exited with SIGKILL, and its test had not ended it'])
  await ended.stop()
})
