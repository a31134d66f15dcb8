import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { expect, test } from 'vitest'
import { toolPath } from '../../scripts/lib/prepare.mjs'
import { sbomOf } from '../../scripts/lib/sbom.mjs'
import { manifestOf, publishedNames } from './package-set.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const validateSbom = sbomValidator()

test.each(publishedNames())(
  'the bill of materials of @stowage/%s is one that the schema of CycloneDX accepts',
  (name) => {
    const bom = JSON.parse(sbomOf(root, name))
    expect(validateSbom({ ...bom, components: [{ name: 'without a type' }] })).toBe(false)
    expect(validateSbom(bom), JSON.stringify(validateSbom.errors)).toBe(true)
    const { dependencies = {} } = manifestOf(name)
    const [own] = bom.dependencies.filter(({ ref }: { ref: string }) =>
      ref.startsWith(`@stowage/${name}@`),
    )
    const required = (own.dependsOn ?? []).map((ref: string) => ref.replace(/@[^@]+$/, ''))
    expect(required.sort()).toEqual(Object.keys(dependencies).sort())
  },
)

/** The schemas are part of the library that writes the bills. */
function sbomValidator() {
  const schema = (file: string) => {
    const path = toolPath('@cyclonedx/cyclonedx-library', `res/schema/${file}`)
    return JSON.parse(readFileSync(path, 'utf8'))
  }
  const ajv = new Ajv({ strict: false })
  for (const name of ['spdx', 'jsf-0.82', 'cryptography-defs']) {
    const file = `${name}.SNAPSHOT.schema.json`
    ajv.addSchema({ ...schema(file), $id: `http://cyclonedx.org/schema/${file}` })
  }
  addFormats.default(ajv)
  // Formats of a later draft, of texts that the bills do not contain.
  ajv.addFormat('idn-email', true).addFormat('iri-reference', true)
  return ajv.compile(schema('bom-1.6.SNAPSHOT.schema.json'))
}
