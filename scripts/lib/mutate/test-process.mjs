// Runs test files for one mutant after another, as messages ask: { files, cases }. Starting Vitest takes longer than most files.
import { fileURLToPath } from 'node:url'
import { createVitest } from 'vitest/node'
import { root } from '../run.mjs'

const config = fileURLToPath(new URL('vitest.config.mjs', import.meta.url))
const vitest = await createVitest('test', { root, config, watch: false, reporters: [{}] })

process.on('disconnect', () => process.exit())
process.on('message', async ({ files, cases }) => {
  process.send({ failed: await failedTest(files, cases) })
})

/** The name of the first test that fails; `undefined` if all pass. */
async function failedTest(files, cases) {
  process.env.STOWAGE_TEST_FILES = files.join(',')
  vitest.setGlobalTestNamePattern(cases)
  const specifications = await vitest.globTestSpecifications(files)
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications)
  // Vitest also returns the files of earlier runs.
  const ran = testModules.filter(({ relativeModuleId }) => files.includes(relativeModuleId))
  const failed = ran.find((module) => module.state() === 'failed')
  if (failed !== undefined) {
    const [test] = failed.children.allTests('failed')
    return `${failed.relativeModuleId}: ${test?.fullName ?? 'does not start'}`
  }
  return unhandledErrors.length > 0 ? `${files[0]}: an unhandled error` : undefined
}
