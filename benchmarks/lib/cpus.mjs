import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

// A client and a server that take turns are three times as fast on one CPU, where neither ever sleeps, as on two,
// where each is woken for every call. Left alone, the scheduler moves them from one to the other at any time.
const cpus = allowedCpus()
const [clientCpu] = cpus
const serverCpu = cpus.at(-1)

/** Whether it can be decided here who runs where: Linux, with `taskset` and two CPUs. */
export const canPlace = cpus.length > 1 && keepOn(process.pid, cpus.join(','))

/** All threads of a server on one CPU. */
export function placeServer(pid) {
  if (canPlace) keepOn(pid, serverCpu, '-a')
}

/** The thread that runs JavaScript; those that collect garbage go where there is room. */
export function placeClient(pid, { sameCpu }) {
  if (canPlace) keepOn(pid, sameCpu ? serverCpu : clientCpu)
}

function keepOn(pid, list, ...flags) {
  return spawnSync('taskset', [...flags, '-c', '-p', list, `${pid}`]).status === 0
}

/** '0-2,5' → ['0', '1', '2', '5'] */
function allowedCpus() {
  if (process.platform !== 'linux') return []
  const [, list] = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}`)
  })
}
