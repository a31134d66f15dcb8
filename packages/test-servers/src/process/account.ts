import { spawnSync } from 'node:child_process'

/** A user of the machine. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/** For a server that refuses to run as root: the first of these users that exists. */
const names = ['postgres', 'nobody']

/** Returns the account of a user without privileges if this process runs as root, and `undefined` otherwise. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of names) {
    const [uid, gid] = ['-u', '-g'].map((flag) => idOf(flag, name))
    if (uid !== undefined && gid !== undefined) return { uid, gid }
  }
  throw new Error(`The server does not run as root. Create one of the users ${names.join(', ')}.`)
}

function idOf(flag: string, name: string): number | undefined {
  const { status, stdout } = spawnSync('id', [flag, name], { encoding: 'utf8' })
  return status === 0 ? Number(stdout) : undefined
}
