import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endsWithUs } from './cleanup.mjs'

const program = fileURLToPath(new URL('null-dynamodb.mjs', import.meta.url))

/** A server that does nothing but keep items, with a table for each contestant. */
export async function startNullDynamoDB() {
  const child = endsWithUs(fork(program))
  const [port] = await once(child, 'message')
  return {
    pids: [child.pid],
    addressOf: (contestant) => ({ endpoint: `http://127.0.0.1:${port}`, table: contestant }),
    async reset() {},
    stop: async () => child.kill('SIGKILL'),
  }
}
