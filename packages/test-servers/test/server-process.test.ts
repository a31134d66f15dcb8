import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

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
