import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { killOnExit } from '../running/child-processes.mjs'

const program = fileURLToPath(new URL('load-program.mjs', import.meta.url))

/** Another process that sends requests to an HTTP server of this process, so that it does not use its CPU time. */
export async function startLoad(port) {
  const child = killOnExit(
    fork(program, [], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  )
  await once(child, 'message')
  return {
    /** Sends requests for `path` for `ms` milliseconds. Resolves to their durations. */
    async send({ path, connections, ms }) {
      child.send({ port, path, connections, ms })
      const [durations] = await once(child, 'message')
      return durations
    },
    stop: () => child.kill('SIGKILL'),
  }
}
