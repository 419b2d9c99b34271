"""Every table and figure of the paper that a study can have, in the paper's order.

The one place where a table or figure is entered; all else about it stands in its module. Imported
while Snakemake parses: the standard library alone.
"""

from modelsoups.paper.declare import Result
from modelsoups.paper.figure1 import RESULT as FIGURE_1
from modelsoups.paper.figure2 import RESULT as FIGURE_2
from modelsoups.paper.figure3 import RESULT as FIGURE_3
from modelsoups.paper.figure4 import RESULT as FIGURE_4
from modelsoups.paper.figure5 import RESULT as FIGURE_5
from modelsoups.paper.figureB1 import RESULT as FIGURE_B1
from modelsoups.paper.figureB2 import RESULT as FIGURE_B2
from modelsoups.paper.figureD1 import RESULT as FIGURE_D1
from modelsoups.paper.figureE1 import RESULT as FIGURE_E1
from modelsoups.paper.figureF1 import RESULT as FIGURE_F1
from modelsoups.paper.figureG1 import RESULT as FIGURE_G1
from modelsoups.paper.figureG2 import RESULT as FIGURE_G2
from modelsoups.paper.figureG3 import RESULT as FIGURE_G3
from modelsoups.paper.figureG4 import RESULT as FIGURE_G4
from modelsoups.paper.figureH import RESULT as FIGURE_H
from modelsoups.paper.figureJ1 import RESULT as FIGURE_J1
from modelsoups.paper.figureK1 import RESULT as FIGURE_K1
from modelsoups.paper.figureL import RESULT as FIGURE_L
from modelsoups.paper.figureL3 import RESULT as FIGURE_L3
from modelsoups.paper.figureRecipes import RESULT as FIGURE_RECIPES
from modelsoups.paper.recipes import RESULT as RECIPES
from modelsoups.paper.table1 import RESULT as TABLE_1
from modelsoups.paper.table2 import RESULT as TABLE_2
from modelsoups.paper.table3 import RESULT as TABLE_3
from modelsoups.paper.table4 import RESULT as TABLE_4
from modelsoups.paper.table5 import RESULT as TABLE_5
from modelsoups.paper.tableC1 import RESULT as TABLE_C1
from modelsoups.paper.tableJ1 import RESULT as TABLE_J1
from modelsoups.paper.tableL1 import RESULT as TABLE_L1
from modelsoups.paper.tableL2 import RESULT as TABLE_L2
from modelsoups.paper.tableL3 import RESULT as TABLE_L3
from modelsoups.paper.uniform_soups import RESULT as UNIFORM_SOUPS

RESULTS: dict[str, Result] = {
    result.name: result
    for result in (
        TABLE_2,
        FIGURE_2,
        FIGURE_3,
        FIGURE_4,
        FIGURE_1,
        TABLE_1,
        TABLE_3,
        TABLE_4,
        FIGURE_5,
        TABLE_5,
        UNIFORM_SOUPS,
        FIGURE_K1,
        FIGURE_B1,
        FIGURE_B2,
        TABLE_C1,
        FIGURE_D1,
        FIGURE_E1,
        FIGURE_F1,
        FIGURE_G1,
        FIGURE_G2,
        FIGURE_G3,
        FIGURE_G4,
        FIGURE_H,
        FIGURE_J1,
        TABLE_J1,
        TABLE_L1,
        TABLE_L2,
        TABLE_L3,
        FIGURE_L,
        FIGURE_L3,
        RECIPES,
        FIGURE_RECIPES,
    )
}
