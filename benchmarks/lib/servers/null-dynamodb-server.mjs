import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { killOnExit } from '../running/child-processes.mjs'

const program = fileURLToPath(new URL('null-dynamodb-program.mjs', import.meta.url))

/** Starts a DynamoDB server that only stores items, with one table per contestant. */
export async function startNullDynamoDB() {
  const child = killOnExit(fork(program))
  const [port] = await once(child, 'message')
  return {
    pids: [child.pid],
    addressOf: (contestant) => ({ endpoint: `http://127.0.0.1:${port}`, table: contestant }),
    async reset() {},
    stop: async () => child.kill('SIGKILL'),
  }
}
