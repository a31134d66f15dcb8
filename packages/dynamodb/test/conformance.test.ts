import { conformVariants } from './conform-variants.ts'

conformVariants('lean')
