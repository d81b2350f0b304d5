"""Reports: what people and scripts read. Imports ``results`` only, and needs no runtime installed."""
