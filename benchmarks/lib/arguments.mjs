import { parseArgs } from 'node:util'
import { UserError } from '../../scripts/lib/cli.mjs'
import { groupNames, loadGroup } from './groups.mjs'

const options = {
  quick: { type: 'boolean', default: false },
  peers: { type: 'boolean' },
  store: { type: 'boolean', default: false },
  json: { type: 'string' },
}

/** The groups to run, and the options. Without names, all groups run. */
export async function readArguments(args) {
  const { values, positionals } = parse(args)
  const known = groupNames()
  const unknown = positionals.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new UserError(`Unknown group: ${unknown.join(', ')}. Use one of: ${known.join(', ')}.`)
  }
  const names = positionals.length > 0 ? [...new Set(positionals)] : known
  const { quick, store, peers = store || !quick, json } = values
  return { quick, peers, store, json, groups: await Promise.all(names.map(loadGroup)) }
}

function parse(args) {
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    throw new UserError(`${error.message}\n${usage()}`)
  }
}

function usage() {
  return `Usage: npm run bench -- [${groupNames().join('|')} …] [--quick] [--peers] [--store] [--json FILE]`
}
