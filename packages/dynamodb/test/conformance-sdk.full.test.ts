import { conformVariants } from './conform-variants.ts'

conformVariants('sdk')
