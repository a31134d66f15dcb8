import { backends } from '../../test/remember/processes/backends.mjs'
import { Fleet } from '../../test/remember/processes/fleet.mjs'
import { raceInvalidations } from '../../test/remember/races/races.mjs'
import { UserError } from '../lib/cli.mjs'

/**
 * Invalidates values at random moments while other processes load them, on each backend given, or all:
 * npm run soak -- remember [moments] [seed] [backend …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [moments = 1_000, seed = 1, ...more] = args.map(Number).filter(Number.isFinite)
  const names = args.filter((arg) => Number.isNaN(Number(arg)))
  const known = Object.keys(backends)
  if (names.some((name) => !known.includes(name)) || more.length > 0 || moments <= 0) {
    throw new UserError(`Usage: npm run soak -- remember [moments] [seed] [${known.join('|')} …]`)
  }
  let failed = 0
  for (const name of names.length > 0 ? names : known) {
    const fleet = await Fleet.start(name)
    try {
      const result = await raceInvalidations(fleet, { moments, seed })
      print(name, result)
      if (!isCorrect(result)) failed++
    } finally {
      await fleet.stop()
    }
  }
  return failed === 0 ? 0 : 1
}

/** @typedef {import('../../test/remember/races/races.mjs').RaceResult} RaceResult */

/** At enough moments, a load must have been running. @param {RaceResult} result */
function isCorrect({ wrong, duringLoad, moments }) {
  return wrong.length === 0 && duringLoad > moments / 8
}

/** @param {string} name @param {RaceResult} result */
function print(name, result) {
  const { wrong, moments, duringLoad } = result
  const mark = isCorrect(result) ? '✓' : '✗'
  const cells = `wrong ${wrong.length}, moments ${moments}, during a load ${duringLoad}`
  process.stdout.write(`${mark} ${name}: ${cells}\n`)
  for (const each of wrong.slice(0, 20)) process.stdout.write(`    ${each}\n`)
}
